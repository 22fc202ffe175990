"""A shop becomes arrays on disk that training reads; torch-free but for the configuration.

::

    log            the events file as columns, read once
    prepare        writes the arrays: examples, histories, val searches, texts as ids
    training_data  reads them back, memory-mapped
    histories      of a batch, as arrays; what is cut from them
    coclick        which items were clicked together
    text_store     item texts as ids on disk
    vocabulary     trains the tokenizer on the shop's own texts
"""
