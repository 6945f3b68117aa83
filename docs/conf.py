"""Settings of the documentation site: ``scripts/build-docs`` builds it."""

from sepcnn import __version__

project = "sepcnn"
author = "the sepcnn authors"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
html_theme = "furo"
html_title = f"sepcnn {version}"
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["site.css"]

myst_heading_anchors = 3  # the headings that a link can name, as on GitHub
smartquotes = False  # would turn --set into –set

default_role = "code"
autodoc_default_options = {"exclude-members": "__init__, __new__"}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_class_signature = "separated"
autodoc_preserve_defaults = True
autodoc_type_aliases = {"ProgressCallback": "ProgressCallback"}
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 90
add_module_names = False
