"""What a measurement consists of: data only."""
