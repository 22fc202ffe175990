"""Pictures are decoded in small processes of their own, which may be killed in the middle of one.

::

    decoder     `PictureDecoder`: pictures to pixels, for an event loop
    processes   starts, ends and judges the processes, from the service's side
    wire        what they say to each other
    lane        what runs in them; imports Pillow and nothing of the service
"""
