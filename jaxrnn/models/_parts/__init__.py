"""What several models are made of: symbols in, labels and poolings out, attention, a bridge between carries."""
