//go:build tools

package tools

import (
	_ "filippo.io/age/extra/age-plugin-pq"
)
