"""What all other rooms are built on, private: the contract, records, checks, types and products, loops, rows."""
