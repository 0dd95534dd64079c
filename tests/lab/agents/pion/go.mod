module pionagent

go 1.19
