"""Tests of the underlay."""
