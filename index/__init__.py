"""Item indexes behind one port, `index.port.ItemIndex`."""
