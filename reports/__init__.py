"""What people read: the terminal's closing table and the HTML report."""
