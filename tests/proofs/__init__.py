"""docs/PROOFS.md, made of the guarantees in guarantees.txt and the `proves` marks of the tests."""
