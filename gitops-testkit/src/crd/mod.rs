//! CustomResourceDefinitions: their defaults, their rules, and what they make of their instances.
