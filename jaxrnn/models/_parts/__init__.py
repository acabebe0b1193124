"""Parts shared by models: symbols as inputs, labels, pooling, attention, a bridge between carries."""
