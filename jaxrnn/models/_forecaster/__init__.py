"""The forecaster, its distributions (`heads`) and its series (`series`)."""
