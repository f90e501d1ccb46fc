package stage

import "fmt"

var steps int

// Step begins the next one with a sentence that says what it is about.
func Step(sentence string) {
	steps++
	fmt.Printf("\n%d. %s\n", steps, sentence)
}

// Say prints a line below a step.
func Say(format string, args ...any) { fmt.Printf("   "+format+"\n", args...) }

// Table prints rows below a step, with their columns aligned.
func Table(rows ...[]string) {
	widths := map[int]int{}
	for _, row := range rows {
		for i := range len(row) - 1 { // the last one needs none
			widths[i] = max(widths[i], len(row[i]))
		}
	}
	for _, row := range rows {
		fmt.Print("    ")
		for i, cell := range row {
			if i == len(row)-1 {
				fmt.Printf(" %s\n", cell)
			} else {
				fmt.Printf(" %-*s ", widths[i], cell)
			}
		}
	}
}

// Text is a value as a table shows it: an empty one would look like a mistake of the table.
func Text(value string) string {
	if value == "" {
		return `""`
	}
	return value
}

// Count is a number with its noun.
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
