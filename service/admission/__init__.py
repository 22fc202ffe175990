"""Admission: which request is worked on now, which waits, which is refused, and what it does without.

::

    admission     the places, tickets, and what a request does without by how long it waited
    gate          starts requests in turns of the event loop, and refuses those that would wait too long
    fair          who is next, so that no client waits behind another's many requests
    batches       how many entries of batches are worked on at once, by whether batches are in time
    concurrency   how many are worked on at once, by how long they take
    pulse         the event loop's lag, its processor time for a request, and when it last moved

Everything is measured as time: how long a request has waited since its first byte came, and how long it
would wait. For one event loop, not for threads.
"""

from service.admission.admission import Admission, LoadShedding, Ticket
from service.admission.gate import Gate
from service.admission.pulse import Pulse

__all__ = ["Admission", "Gate", "LoadShedding", "Pulse", "Ticket"]
