"""The grammar of a study's file: settings, axes, cells; page by page refused where it is wrong."""
