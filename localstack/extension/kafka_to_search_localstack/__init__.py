"""LocalStack plugins: Lambda functions as child processes, and Kafka event source mappings."""
