package odoo

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"
)

// json2 speaks the interface of Odoo 19 and newer: POST
// /json/2/<model>/<method>, parameters by name, the API key as bearer token
// and the database as header. An exception is named in the body, whatever the
// status: a ValueError is a 500.
type json2 struct{ http *poster }

// noUser is the user's id where a wire has no login.
const noUser = -1

// login sees that the key is the user's: from then on it is looked at with
// every call, and the user's name with none.
func (j *json2) login(ctx context.Context, as who) (int64, error) {
	res, err := j.execute(ctx, as, "res.users", "context_get", nil, nil)
	if err != nil {
		return 0, err
	}
	about, _ := res.(map[string]any)
	res, err = j.execute(ctx, as, "res.users", "read", []arg{{"ids", []any{about["uid"]}}, {"fields", []any{"login"}}}, nil)
	if err != nil {
		return 0, err
	}
	rows, _ := res.([]any)
	if len(rows) != 1 {
		return 0, &fault{class: "net.garbage"}
	}
	row, _ := rows[0].(map[string]any)
	if row["login"] != as.user {
		return 0, &fault{class: "AccessDenied", text: "the key is another user's"}
	}
	return noUser, nil
}

func (j *json2) execute(ctx context.Context, as who, model, method string, args []arg, kw map[string]any) (any, error) {
	named := make(map[string]any, len(args)+len(kw))
	for k, v := range kw {
		named[k] = v
	}
	for _, a := range args {
		named[a.name] = a.value
	}
	body, err := appendJSON(make([]byte, 0, 4096), named)
	if err != nil {
		return nil, &fault{class: "net.encode"}
	}
	return j.send(ctx, http.MethodPost, "/json/2/"+model+"/"+method, body, http.Header{
		"Authorization": {"bearer " + as.key}, "X-Odoo-Database": {as.db}})
}

func (j *json2) version(ctx context.Context) (string, error) {
	res, err := j.send(ctx, http.MethodGet, "/json/version", nil, nil)
	if err != nil {
		return "", err
	}
	about, _ := res.(map[string]any)
	info, _ := about["version_info"].([]any)
	if _, ok := about["version"].(string); !ok || len(info) < 2 {
		return "", &fault{class: "net.garbage"}
	}
	return fmt.Sprintf("%v.%v", info[0], info[1]), nil // version has edition and date, too
}

func (j *json2) send(ctx context.Context, method, path string, body []byte, header http.Header) (any, error) {
	answer, err := j.http.do(ctx, method, path, "application/json", body, header)
	if err != nil {
		return nil, err
	}
	v, ok := readJSON(answer.body)
	if answer.status == http.StatusOK {
		if !ok {
			return nil, &fault{class: "net.garbage"}
		}
		return v, nil
	}
	e, _ := v.(map[string]any)
	name, named := e["name"].(string)
	if !ok || !named { // a page for people: of a proxy, or of Odoo before it knows the database
		if answer.status == http.StatusNotFound && bytes.Contains(answer.body, []byte("No database is selected")) {
			return nil, &fault{class: "NoDatabase"}
		}
		return nil, &fault{class: "http." + strconv.Itoa(answer.status)}
	}
	text, _ := e["message"].(string)
	class := bareClass(name)
	if class == "Unauthorized" {
		class = "AccessDenied"
	}
	return nil, &fault{class: class, text: text}
}
