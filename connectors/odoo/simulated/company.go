package simulated

import "slices"

// Companies: a call works in those of its context (allowed_company_ids), or in
// all of its user's. Records of others are not found, and may not be read.

// enter sets the companies of a transaction.
func (t *tx) enter(u *User, ctx map[string]any) *exception {
	t.allowed = u.Companies
	asked := ints(ctx["allowed_company_ids"])
	if len(asked) == 0 {
		return nil
	}
	for _, id := range asked {
		if t.tables["res.company"].rows[id] == nil || u.Companies != nil && !slices.Contains(u.Companies, id) {
			return &exception{class: "odoo.exceptions.AccessError", message: "Access to unauthorized or invalid companies."}
		}
	}
	t.allowed = asked
	return nil
}

// company is the one that new records belong to.
func (t *tx) company() int64 {
	if len(t.allowed) > 0 {
		return t.allowed[0]
	}
	return 1
}

// visible says whether a record is of no company, or of one of the call's.
func (t *tx) visible(r *record) bool {
	of, ok := r.values["company_id"].(int64)
	return !ok || t.allowed == nil || slices.Contains(t.allowed, of)
}
