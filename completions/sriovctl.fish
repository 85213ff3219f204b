complete --keep-order --exclusive --command sriovctl --arguments "(SRIOVCTL_COMPLETE=fish sriovctl -- (commandline --current-process --tokenize --cut-at-cursor) (commandline --current-token))"
