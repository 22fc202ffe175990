"""The model offline: training, export, evaluation and the synthetic shop. Servers import none of it.

::

    dataset/     a shop becomes arrays that training reads
    towers/      the towers in torch, and their configuration
    training/    from a shop to weights, stage by stage
    export/      weights become a bundle
    embed, pictures    a bundle and a shop become embeddings, without torch
    evaluation/  how good a bundle is on held-out requests
    experiment/  what an experiment came to online
    ablation/    what each part of the model contributes
    synthetic/   a shop whose truth is known
"""
