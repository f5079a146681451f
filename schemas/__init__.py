"""The messages of txnwatch: their types, decoding, validation and published JSON Schemas."""
