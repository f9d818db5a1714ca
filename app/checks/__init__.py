"""Tests of workflows: what a graph is expected to do, and whether it did."""
