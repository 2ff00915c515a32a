"""What pages say about keys and routing. Nothing here writes."""
