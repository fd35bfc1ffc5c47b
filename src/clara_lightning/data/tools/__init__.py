"""What is done with data files as they are: count, check, mix and split them."""
