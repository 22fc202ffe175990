"""The processes of the service: `server` runs one, or a parent that watches over several workers.

::

    server          one process, or the parent of several
      supervisor      starts workers, starts them again, ends them
        watched         a worker as it knows it
        replacing       all of them, one after another, on SIGHUP
      config_watch    sends SIGHUP when the configuration file changes
      worker          one of several: what it tells the supervisor, and hears from it
      bound           nothing of a service outlives its parent
      sharing         connections, spread over the workers
      shared_metrics  the folder that workers count in
      ends            what the supervisor counts: how workers and reloads ended
      probes          /livez, /readyz and /metrics on a thread and a port of their own
    leaving         uvicorn's server, with an end that loses no request
      configuration   what uvicorn is told
      tls             the certificate, and those of clients
    handshake       a connection until TLS has shaken hands
    protocol        HTTP/1.1 on one connection: what uvicorn's parser says, within bounds
      connection      its place, its deadlines, and how it ends
      cycle           one request and its answer
      refusals        answers that it gives by itself
      hosts           the names that it may be asked by
    connections     all connections of a worker: how many, which go first, what they hold

Every worker reads the settings itself, which loads the extensions, and makes its own `service.app`. Workers
share the port, the pages of their libraries, the files of the index, and the folder that they count in.
"""
