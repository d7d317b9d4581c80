module peers/echo

go 1.26.0
