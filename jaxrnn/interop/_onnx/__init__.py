"""ONNX: networks as graphs of the operators RNN, LSTM, GRU and Scan, and such graphs as networks."""
