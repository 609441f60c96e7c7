package simulated

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// request is one call, whichever wire brought it.
type request struct {
	service, method string
	args            []any
}

// call is the request of execute_kw, read.
type call struct {
	model, method string
	args          []any
	kw            map[string]any
	ctx           map[string]any
	named         bool // came by JSON-2, where ids are one of the names
}

// dispatch answers a request.
func (s *Server) dispatch(r request) (any, *exception) {
	switch {
	case r.service == "" && r.method == "":
		return nil, typeError("dispatch_rpc() missing 3 required positional arguments: 'service_name', 'method', and 'params'")
	case r.service == "db": // list_db is off
		return nil, accessDenied()
	case r.service == "common" && r.method == "version":
		return map[string]any{"server_version": s.cfg.Version, "server_version_info": []any{s.major(), int64(0), int64(0), "final", int64(0), ""},
			"server_serie": s.cfg.Version, "protocol_version": int64(1)}, nil
	case r.service == "common" && (r.method == "authenticate" || r.method == "login"):
		if len(r.args) < 3 {
			return nil, typeError("exp_authenticate() missing 1 required positional argument: 'user_agent_env'")
		}
		if e := s.database(r.args[0]); e != nil {
			return nil, e
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.count("", r.method, 0)
		if f := s.takeFault(call{method: r.method}, FaultRaise); f != nil {
			return nil, &exception{class: f.Class, message: f.Message}
		}
		for i := range s.users {
			if u := &s.users[i]; u.Login == r.args[1] && u.Key == r.args[2] && !u.archived {
				return u.uid, nil
			}
		}
		return false, nil
	case r.service == "object" && (r.method == "execute_kw" || r.method == "execute"):
		return s.execute(r)
	case r.service != "common" && r.service != "object":
		return nil, &exception{class: "builtins.KeyError", message: r.service}
	}
	return nil, &exception{class: "builtins.Exception", message: "Method not found: " + r.method}
}

func (s *Server) database(name any) *exception {
	if name == s.cfg.Database {
		return nil
	}
	return &exception{class: "psycopg2.OperationalError",
		message: fmt.Sprintf("connection to server at \"127.0.0.1\", port 5432 failed: FATAL:  database \"%v\" does not exist\n", name)}
}

func (s *Server) execute(r request) (any, *exception) {
	if len(r.args) < 5 {
		return nil, typeError("execute_kw() missing required positional arguments")
	}
	if e := s.database(r.args[0]); e != nil {
		return nil, e
	}
	c := call{kw: map[string]any{}}
	c.model, _ = r.args[3].(string)
	c.method, _ = r.args[4].(string)
	if r.method == "execute" {
		c.args = r.args[5:]
	} else {
		if len(r.args) > 5 {
			c.args, _ = r.args[5].([]any)
		}
		if len(r.args) > 6 {
			if kw, ok := r.args[6].(map[string]any); ok {
				c.kw = kw
			}
		}
	}
	uid, _ := asInt(r.args[1])
	key, _ := r.args[2].(string)
	return s.run(c, func(u User) bool { return u.uid == uid }, key, func() *exception { return missingError("res.users", uid, uid) })
}

// run executes a call as the user whom is says, in a transaction.
func (s *Server) run(c call, is func(User) bool, key string, nobody func() *exception) (res any, e *exception) {
	c.ctx, _ = c.kw["context"].(map[string]any)
	rows := 1
	if c.method == "load" {
		rows = len(c.list(1, "data"))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count(c.model, c.method, rows)
	noted := calling{At: time.Now(), User: "nobody", Model: c.model, Method: c.method, Rows: rows}
	defer func() {
		if load, ok := res.(map[string]any); ok && load["ids"] == false {
			noted.Class = "rows refused"
		}
		if e != nil {
			noted.Class = e.class
		}
		s.note(noted)
	}()
	i := slices.IndexFunc(s.users, is)
	if i < 0 {
		return nil, nobody()
	}
	u := &s.users[i]
	noted.User = u.Login
	if key != u.Key || u.archived {
		return nil, accessDenied()
	}
	if strings.HasPrefix(c.method, "_") {
		return nil, &exception{class: "odoo.exceptions.AccessError", message: "Private methods (such as '" + c.model + "." + c.method + "') cannot be called remotely."}
	}
	if f := s.takeFault(c, FaultRaise); f != nil {
		if c.method == "load" && f.Class == "psycopg2.errors.SerializationFailure" {
			return map[string]any{"ids": false, "nextrow": int64(0), "messages": []any{map[string]any{"type": "error", "record": int64(0),
				"rows": span(0), "message": f.Message}}}, nil
		}
		return nil, &exception{class: f.Class, message: f.Message}
	}
	t := &tx{store: s.store, uid: u.uid, ctx: c.ctx}
	if e := t.enter(u, c.ctx); e != nil {
		return nil, e
	}
	res, e = s.method(t, u, c)
	if e != nil {
		t.rollback(0, 0)
		return nil, s.worded(e)
	}
	t.commit()
	return res, nil
}

// arg is a parameter given by position or by name.
func (c *call) arg(i int, name string) any {
	if i < len(c.args) {
		return c.args[i]
	}
	return c.kw[name]
}

func (c *call) list(i int, name string) []any {
	l, _ := c.arg(i, name).([]any)
	return l
}

// method runs a model's method inside the transaction.
func (s *Server) method(t *tx, u *User, c call) (any, *exception) {
	if c.model == "ir.model.data" {
		return s.modelData(t, u, c)
	}
	if c.model == "vagus.unit" && s.cfg.Addon {
		return s.addon(t, u, c)
	}
	if c.model == "vagus.change" && c.method == "read_changes" && s.cfg.Addon {
		return t.readChanges(c)
	}
	m, ok := t.models[c.model]
	if !ok {
		return nil, userError("Object %s doesn't exist", c.model)
	}
	if slices.Contains(u.NoAccess, c.model) && c.method != "check_access_rights" && c.method != "has_access" {
		return nil, accessError(map[bool]string{true: "create", false: "access"}[c.method == "create"], m, c.model, "Administration/Settings")
	}
	if c.model == "res.users" && c.method == "context_get" {
		return map[string]any{"lang": "en_US", "tz": "UTC", "uid": u.uid}, nil
	}
	if e := c.fits(); e != nil {
		return nil, e
	}
	switch c.method {
	case "load":
		return s.load(t, u, c.model, c.list(0, "fields"), c.list(1, "data"), c.ctx)
	case "create":
		if u.ReadOnly {
			return nil, accessError("create", m, c.model, "Extra Rights/Contact Creation")
		}
		return create(t, c)
	case "write":
		if u.ReadOnly {
			return nil, accessError("modify", m, c.model, "Extra Rights/Contact Creation")
		}
		values, _ := c.arg(1, "vals").(map[string]any)
		return true, each(c.arg(0, "ids"), func(id int64) *exception {
			if t.tables[c.model].rows[id] == nil {
				return missingError(c.model, id, t.uid)
			}
			v, e := t.natives(c.model, id, values)
			if e != nil {
				return e
			}
			if e := t.write(c.model, id, v); e != nil {
				return e
			}
			return t.lines(c.model, id, values)
		})
	case "unlink":
		return true, each(c.arg(0, "ids"), func(id int64) *exception { return t.unlink(c.model, id) })
	case "read":
		return read(t, c.model, ints(c.arg(0, "ids")), c.list(1, "fields"), c.arg(2, "load") == "")
	case "web_read":
		spec, _ := c.arg(1, "specification").(map[string]any)
		ids := ints(c.arg(0, "ids"))
		if s.poisoned(c.model, ids) {
			return nil, userError("It cannot be computed.")
		}
		return t.webRead(c.model, ids, spec)
	case "context_get":
		return map[string]any{"lang": "en_US", "tz": false, "uid": u.uid}, nil
	case "search", "search_read", "search_count":
		ids, e := t.search(c.model, c.list(0, "domain"), c.ctx)
		if e != nil {
			return nil, e
		}
		if c.method == "search_count" {
			return int64(len(ids)), nil
		}
		if by, _ := c.kw["order"].(string); by != "" {
			if e := t.order(c.model, ids, by); e != nil {
				return nil, e
			}
		}
		ids = page(ids, c.kw)
		if c.method == "search" {
			return wireIDs(ids), nil
		}
		return read(t, c.model, ids, c.list(1, "fields"), false)
	case "name_search":
		name, _ := c.arg(0, "name").(string)
		ids, e := t.search(c.model, []any{[]any{"name", "ilike", name}}, c.ctx)
		if e != nil {
			return nil, e
		}
		out := []any{}
		for _, id := range page(ids, c.kw) {
			out = append(out, []any{id, t.display(c.model, id)})
		}
		return out, nil
	case "fields_get":
		return fieldsGet(m, c.list(0, "allfields"), c.list(1, "attributes")), nil
	case "default_get":
		fields := c.list(0, "fields_list")
		if c.model == "sale.order.line" && t.major < 18 { // where the method takes records, by mistake
			if len(c.args) < 2 {
				return nil, typeError("SaleOrderLine.default_get() missing 1 required positional argument: 'fields'")
			}
			fields = c.list(1, "")
		}
		out := map[string]any{}
		for _, f := range fields {
			name, _ := f.(string)
			if d := m.Fields[name].Default; d != nil {
				out[name] = d
			}
		}
		return out, nil
	case "check_access_rights", "has_access":
		operation, _ := c.arg(0, "operation").(string)
		if c.method == "has_access" {
			operation, _ = c.arg(1, "operation").(string)
		}
		may := !slices.Contains(u.NoAccess, c.model) && (!u.ReadOnly || operation == "read")
		if !may && c.method == "check_access_rights" && c.arg(1, "raise_exception") != false {
			return nil, accessError(operation, m, c.model, "Extra Rights/Contact Creation")
		}
		return may, nil
	case "action_archive", "action_unarchive":
		return nil, each(c.arg(0, "ids"), func(id int64) *exception {
			return t.write(c.model, id, map[string]any{"active": c.method == "action_unarchive"})
		})
	}
	if res, e, has := generic(t, u, c); has {
		return res, e
	}
	if method := m.workflow[c.method]; method != nil {
		if u.ReadOnly {
			return nil, accessError("modify", m, c.model, "Extra Rights/Contact Creation")
		}
		ids := ints(c.arg(0, "ids"))
		for _, id := range ids {
			if t.tables[c.model].rows[id] == nil {
				return nil, missingError(c.model, id, t.uid)
			}
		}
		return method(t, ids, c.ctx)
	}
	return nil, &exception{class: "builtins.AttributeError", message: fmt.Sprintf("The method '%s' does not exist on the model '%s'", c.method, c.model)}
}

func create(t *tx, c call) (any, *exception) {
	one := func(v any) (int64, *exception) {
		values, _ := v.(map[string]any)
		return t.createWithLines(c.model, values)
	}
	list, many := c.arg(0, "vals_list").([]any)
	if !many {
		id, e := one(c.arg(0, "vals_list"))
		return id, e
	}
	ids := []any{}
	for _, v := range list {
		id, e := one(v)
		if e != nil {
			return nil, e
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// read returns records; of a many2one field the id alone when that is asked for.
func read(t *tx, model string, ids []int64, fields []any, bare bool) (any, *exception) {
	m := t.models[model]
	names := []string{"id"}
	for _, f := range fields {
		name, _ := f.(string)
		if _, ok := m.field(name); !ok {
			return nil, valueError("Invalid field '%s' on model '%s'", name, model)
		}
		if name != "id" {
			names = append(names, name)
		}
	}
	if len(fields) == 0 {
		for name := range m.Fields {
			names = append(names, name)
		}
	}
	out := []any{}
	for _, id := range ids {
		r := t.tables[model].rows[id]
		if r == nil && len(fields) == 1 && fields[0] == "id" { // nothing has to be read
			out = append(out, map[string]any{"id": id})
			continue
		}
		if r == nil {
			continue
		}
		if !t.visible(r) {
			return nil, &exception{class: "odoo.exceptions.AccessError",
				message: fmt.Sprintf("Uh-oh! Looks like you have stumbled upon some top-secret records.\n\nSorry, %s (id=%d) doesn't have 'read' access to:\n- %s (%s)\n", "the user", t.uid, m.Label, model)}
		}
		row := make(map[string]any, len(names))
		for _, name := range names {
			row[name] = t.wire(model, id, r, name)
			if f, _ := m.field(name); bare && f.Type == "many2one" {
				row[name] = t.plain(model, id, r, name)
			}
		}
		out = append(out, row)
	}
	return out, nil
}

func fieldsGet(m *Model, names, attributes []any) any {
	out := map[string]any{}
	add := func(name string, f Field) {
		all := map[string]any{"type": f.Type, "string": f.Label, "required": f.Required, "readonly": false, "store": name != "display_name" && f.Related == "", "searchable": true}
		if f.Related != "" {
			all["related"] = f.Related
		}
		depends := []any{}
		for _, d := range f.Depends {
			depends = append(depends, d)
		}
		all["depends"] = depends
		if f.Relation != "" {
			all["relation"] = f.Relation
		}
		if f.Digits > 0 {
			all["digits"] = []any{int64(16), int64(f.Digits)}
		}
		if f.Type == "one2many" {
			all["relation_field"] = f.Inverse
		}
		if f.Type == "selection" {
			list := []any{}
			for _, o := range f.Selection {
				list = append(list, []any{o[0], o[1]})
			}
			all["selection"] = list
		}
		if len(attributes) > 0 {
			for a := range all {
				if !slices.Contains(attributes, any(a)) {
					delete(all, a)
				}
			}
		}
		out[name] = all
	}
	for name, f := range m.Fields {
		if len(names) == 0 || slices.Contains(names, any(name)) {
			add(name, f)
		}
	}
	for name, f := range automatic {
		if len(names) == 0 || slices.Contains(names, any(name)) {
			add(name, f)
		}
	}
	return out
}

func each(ids any, do func(int64) *exception) *exception {
	for _, id := range ints(ids) {
		if e := do(id); e != nil {
			return e
		}
	}
	return nil
}

func ints(v any) []int64 {
	if id, ok := asInt(v); ok {
		return []int64{id}
	}
	list, _ := v.([]any)
	out := make([]int64, 0, len(list))
	for _, x := range list {
		if id, ok := asInt(x); ok {
			out = append(out, id)
		}
	}
	return out
}

func page(ids []int64, kw map[string]any) []int64 {
	if o, ok := asInt(kw["offset"]); ok && o > 0 {
		ids = ids[min(int(o), len(ids)):]
	}
	if n, ok := asInt(kw["limit"]); ok && n > 0 && int(n) < len(ids) {
		ids = ids[:n]
	}
	return ids
}

func wireIDs(ids []int64) any {
	out := make([]any, len(ids))
	for i, id := range ids {
		out[i] = id
	}
	return out
}
