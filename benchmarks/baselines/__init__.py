"""What other tools make of the same model, to be measured beside ours."""
