package x12

// inWords is a code of an acknowledgment after the element that it stands in, what it says, and what to do here where that is not
// its sender's business alone: in TA105 (data element I18), AK905 (716), IK502 (618), IK304 (620) and IK403 (621).
func inWords(code string) string {
	out := code
	if m := meanings[code]; m != "" {
		out += ", " + m
	}
	if f := fixes[code]; f != "" {
		out += ": " + f
	}
	return out
}

// fixes are the settings of a partner that decide about a fault, besides tolerate.
var fixes = map[string]string{
	"TA105 006": "add it to partners",
	"TA105 009": "see `own` of the partner",
	"TA105 020": "see `usage` of the partner",
	"TA105 025": "its sender gives it a number of its own, or `duplicates: warn` of the partner takes it",
	"AK905 1":   "see `groups` of the partner",
	"AK905 2":   "see `versions` of the partner",
}

// meanings are what the codes say that are told.
var meanings = map[string]string{
	"TA105 001": "IEA-02 is not ISA-13",
	"TA105 004": "the segment terminator is none that can be told from data",
	"TA105 006": "its sender (ISA-05, ISA-06) is not known",
	"TA105 007": "the qualifier of its receiver (ISA-07) is none",
	"TA105 008": "the id of its receiver (ISA-08) is empty, or not filled up to 15 characters",
	"TA105 009": "its receiver (ISA-07, ISA-08) is not known",
	"TA105 010": "ISA-01 has not two characters",
	"TA105 011": "ISA-02 has not ten characters",
	"TA105 012": "ISA-03 has not two characters",
	"TA105 013": "ISA-04 has not ten characters",
	"TA105 014": "ISA-09 is no date, YYMMDD",
	"TA105 015": "ISA-10 is no time, HHMM",
	"TA105 016": "ISA-11 has not one character",
	"TA105 017": "ISA-12 has not five digits",
	"TA105 018": "its control number (ISA-13) has not nine digits",
	"TA105 019": "ISA-14 is neither 0 nor 1",
	"TA105 020": "ISA-15 (P production, T test) is not what was agreed upon",
	"TA105 021": "IEA-01 is not the number of its groups",
	"TA105 022": "a segment stands where none can: outside of a group or set, or a trailer without its header",
	"TA105 023": "it ends before IEA: the file is cut off",
	"TA105 024": "what is in it can not be acknowledged: no group, or a GS that lacks an element or has it in a wrong form; or an acknowledgment (FA) is at fault",
	"TA105 025": "its control number (ISA-13) came before with other content",
	"TA105 027": "ISA-16 is not a separator that can be told from the others",

	"AK905 1":  "GS-01 is none that was agreed upon",
	"AK905 2":  "GS-08 is none that was agreed upon",
	"AK905 3":  "the group has no GE",
	"AK905 4":  "GE-02 is not GS-06",
	"AK905 5":  "GE-01 is not the number of its sets",
	"AK905 19": "the interchange has another group of this number (GS-06)",

	"IK502 2":  "the set has no SE",
	"IK502 3":  "SE-02 is not ST-02",
	"IK502 4":  "SE-01 is not the number of its segments",
	"IK502 5":  "segments of it are at fault",
	"IK502 6":  "ST-01 is no set",
	"IK502 7":  "ST-02 is empty, or longer than nine characters",
	"IK502 18": "the set does not belong in its group (GS-01)",
	"IK502 19": "the set names another guide (ST-03) than its group (GS-08)",
	"IK502 23": "the group has another set of this number (ST-02)",
	"IK502 I5": "a message of it breaks its guide, or its mapping rejects it",

	"IK304 1":  "no segment of X12 is called so",
	"IK304 2":  "the segment is not expected here",
	"IK304 3":  "a segment that is required is missing",
	"IK304 4":  "the loop comes too often",
	"IK304 5":  "the segment comes too often",
	"IK304 6":  "the segment is none of this set",
	"IK304 7":  "the segment is not in its order",
	"IK304 8":  "the segment can not be read",
	"IK304 I4": "the guide does not use this segment",
	"IK304 I6": "a segment is missing that another value calls for",
	"IK304 I7": "a loop that is required is missing",
	"IK304 I9": "a segment is here that another value excludes",

	"IK403 1":   "it is required and empty",
	"IK403 2":   "it is empty, and another element calls for it",
	"IK403 3":   "there are too many elements",
	"IK403 4":   "it is too short",
	"IK403 5":   "it is too long",
	"IK403 6":   "a character is none of its data type",
	"IK403 7":   "the code is none",
	"IK403 8":   "it is no date",
	"IK403 9":   "it is no time",
	"IK403 10":  "it is not empty, and another element excludes it",
	"IK403 12":  "it repeats, and may not",
	"IK403 13":  "there are too many components",
	"IK403 I6":  "the guide does not use this code",
	"IK403 I9":  "it is empty, and another value calls for it",
	"IK403 I10": "the guide does not use this element",
	"IK403 I12": "it does not agree with the form or the other values that the guide asks for",
	"IK403 I13": "it is not empty, and another value excludes it",
}
