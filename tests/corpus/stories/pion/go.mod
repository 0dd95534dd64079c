module stories

go 1.19
