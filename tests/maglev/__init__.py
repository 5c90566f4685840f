"""Tests of the maglev room."""
