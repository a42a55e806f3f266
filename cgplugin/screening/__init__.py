"""What ``cgplugin screen`` makes of its runs: rankings with uncertainties."""
