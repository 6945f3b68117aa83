"""Files made from predictions: tables, and copies of images sorted by class."""
