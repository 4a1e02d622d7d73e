"""Networks cut from a once-for-all network, quantised and fine-tuned."""
