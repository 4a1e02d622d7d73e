"""What earlier tasks hand down."""
