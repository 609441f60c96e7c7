// Package journal is the site's durable log.
package journal
