"""Embed-Producer: fills Redis ahead of the requests, with query experts, user portraits and item features.

Every key carries the bundle version, so a new bundle is warmed beside the one that serves, with the same
commands. Each of them may be killed at any time: started again, it goes on where it stopped.

::

    a shop, an embeddings folder           a Redis Stream of behaviours
      queries · portraits · items            stream     reads and acknowledges entries
        a `Job` each (job)                   follow     entries to behaviours, until stopped
      histories, features: their input       refresh    behaviours to portraits
      fill      runs a job, resumes          metrics    of a follower
      journal   how far a job is
                        popular  how popular items are since their log ended
                        merge    a portrait and more behaviours
                        store    values and marks to Redis
"""
