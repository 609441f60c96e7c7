package mapping

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/internal/tree"
)

func TestAFaultOfAnExpressionIsSaidWithItsFix(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ cel, want string }{
		{`it + 1`, `:37: error[cel]: + does not go with text and a whole number: string(…) makes a text of a number, dec(…) a number of a text`},
		{`num('PID-25') * 2.0`, `write the number as dec('0.5'), which is exact`},
		{`num('PID-25') > 1`, `write dec(…) around the whole number`},
		{`it == 1`, `write a code in quotes`},
		{`it == null`, `what is absent is '' here`},
		{`isnull('PID-8') == 'Y'`, `== does not go with true or false and text`},
		{`ts('PID-7') > '2020'`, `write the time as timestamp('2026-01-31T00:00:00Z')`},
		{`values('PV1-18[*]') + 'x'`, `+ does not go with a list of texts and text: join the list with .join(' ')`},
		{`it - 'x'`, `- does not go with text and text: dec(…) makes a number of a text`},
		{`-it`, `- takes a number, and this is text`},
		{`it ? 'a' : 'b'`, `before ? stands what is true or false, and this is text: compare it, as in it != ''`},
		{`it == 'x' ? 1 : 'b'`, `both sides of : are of one type, and here they are a whole number and text`},
		{`!it`, `! takes true or false, and this is text`},
		{`it && true`, `take true or false, and this is text`},
		{`it in 'abc'`, `write it in ['a', 'b']`},
		{`it[0]`, `[n] takes one of a list, and this is text`},
		{`itt + 'x'`, `there is no itt here (did you mean "it"?)`},
		{`it.upper()`, `there is no upper here (did you mean "upperAscii"?)`},
		{`now()`, `there is no clock`},
		{`PID`, `a place of the message is read with a function: v('PID…'), or stands in from:`},
		{`True`, `True is written true`},
		{`title(it)`, `title is written it.title()`},
		{`it.substring('1')`, `it.substring(from, to) is how substring is written: it does not take text, of text`},
		{`it.startsWith()`, `it does not take nothing, of text`},
		{`it.foo`, `text has no parts`},
		{`it.map(x, x)`, `this is text, not a list: values('p[*]') and nodes('p[*]') are lists`},
		{`it.matches('[')`, `the pattern of matches() can not be read: missing closing ]`},
		{`it.matches(v('PID-15.1')) ? 'a' : 'b'`, `the pattern of matches() is a literal text`},
		{`it.matches('(.*){1000}x') ? 'a' : 'b'`, `error[cel-cost]: the pattern of matches() has 4003 steps with its repetitions written out, at most 500`},
		{`it.replace('a', it)`, `long texts are put together, or looked for in each other`},
		{`values('PV1-18[*]').trim()`, `it.trim() is not for a list of texts`},
		{`v('PID-8') = 'M'`, `= does not compare: write ==`},
		{`it != '' and it == 'x'`, `and is no operator: write &&`},
		{`it +`, `the expression ends too early`},
		{`'a' 'b'`, `'b' can not stand here: is an operator, a comma or a bracket missing before it?`},
		{`[1, 'a']`, `it gets a list of different things from the expression`},
	} {
		_, err := Load(testFS("m.yaml", withFields(fmt.Sprintf("name: { from: PID-8, cel: %q }", c.cel))), "m.yaml", []tree.Format{fakeFormat{}})
		issues, _ := err.(Issues)
		var faults Issues
		for _, i := range issues {
			if i.Severity == Error {
				faults = append(faults, i)
			}
		}
		if len(faults) != 1 || !strings.Contains(faults.Error(), c.want) {
			t.Errorf("%s\n got %v\nwant %s", c.cel, faults, c.want)
		}
	}
}
