"""A report to look at: tables, interactive plots and a view of the trajectory in one HTML file that needs no network."""
