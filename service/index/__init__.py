"""Item indexes behind one port, `service.index.port.ItemIndex`."""
