"""The Faust worker: scores each transaction against its user's recent past."""
