"""What every process of txnwatch stands on."""
