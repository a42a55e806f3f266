"""The one kind of exception that is the user's to mend."""


class UserError(ValueError):
    """Bad input: the message is one line that names the culprit and the cure.

    The command line prints it alone and exits with status 2; any other exception is a fault of ours (status 1).
    """


def one_line(error: BaseException) -> str:
    """Text of an exception on a single line, for messages that quote another library's error."""
    return " ".join(str(error).split()) or type(error).__name__
