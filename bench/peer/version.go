package peer

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

var (
	number      = regexp.MustCompile(`\d+\.\d+[^\s,]*`)
	penEmbedded = regexp.MustCompile(`pen (\d+\.\d+(\.\d+)?)`)
)

// told asks a program for its version with -v.
func told(path string) string {
	// Some programs leave with an error after they have told their version; an empty one is as good as none.
	out, _ := exec.Command(path, "-v").CombinedOutput()
	return firstNumber(string(out))
}

func firstNumber(s string) string {
	if v := number.FindString(s); v != "" {
		return v
	}
	line, _, _ := strings.Cut(s, "\n")
	return strings.TrimSpace(line)
}

// embedded finds the version inside of the original pen, which tells it to nobody.
func embedded(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	if m := penEmbedded.FindSubmatch(b); m != nil {
		return string(m[1])
	}
	return ""
}

// built tells how a Go program was built, and when.
func built(path string) string {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return ""
	}
	file, err := os.Stat(path)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s, %s, built %s", info.Main.Version, info.GoVersion, file.ModTime().UTC().Format(time.DateTime))
}

// streamModule returns the configuration line that nginx needs for TCP proxying, or why it cannot.
func streamModule(path string) (line, missing string) {
	out, err := exec.Command(path, "-V").CombinedOutput()
	if err != nil {
		return "", fmt.Sprintf("%s -V: %v", path, err)
	}
	file, missing := parseNginx(string(out))
	if missing != "" || file == "" {
		return "", missing
	}
	if _, err := os.Stat(file); err != nil {
		return "", "nginx without its stream module: " + err.Error()
	}
	return "load_module " + file + ";\n", ""
}

// parseNginx reads the build options of nginx -V: the file of the stream module, nothing if it is inside, or why it is
// missing.
func parseNginx(options string) (file, missing string) {
	dir := "/usr/lib/nginx/modules"
	kind := ""
	for _, f := range strings.Fields(options) {
		if d, ok := strings.CutPrefix(f, "--modules-path="); ok {
			dir = d
		}
		if f == "--with-stream" || f == "--with-stream=dynamic" {
			kind = f
		}
	}
	switch kind {
	case "--with-stream":
		return "", ""
	case "--with-stream=dynamic":
		return filepath.Join(dir, "ngx_stream_module.so"), ""
	}
	return "", "nginx is built without the stream module"
}
