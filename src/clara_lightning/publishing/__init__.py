"""What is told of adapters to those who did not train them: the model card, and a folder for the Hub."""
