"""The ``mrse`` command: parses options, calls, prints. What a command does is in the other packages.

::

    main           the entry point: extensions, the table of commands, errors as exit codes
    commands       a module for each command or group of commands
    options        arguments and options that several commands share
    findings       what `mrse doctor` looks at
    console        output for people or machines, progress, errors
    extras         which extra brings a module that is missing
    showcase       what the demo shows: examples that are judged right, and shoppers
    demo_files, serving, vespa_options    smaller things that commands share

Everything heavy is imported inside the command that needs it, so that ``mrse --help`` is quick.
"""
