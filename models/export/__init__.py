"""A finished run becomes a bundle.

::

    bundle   `export`: graphs, tokenizer, canonical outputs and manifest, with parity checked
    graphs   a torch module to an ONNX file, and int8
"""
