// Reads documents from standard input and says what sops' own library makes of each: one process, for tests of thousands of them.
//
// A line is a JSON object: the plain YAML text, the same text as kthw encrypted it, the data key of both (base64) and the rule that
// says what is encrypted. The answer is a line too: trees as sops walks them, with comments as items of their own and their order.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	"github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/config"
	"github.com/getsops/sops/v3/stores/yaml"
)

type question struct {
	Plain string `json:"plain"`
	Kthw  string `json:"kthw"`
	Key   []byte `json:"key"`
	Field string `json:"field"`
	Rule  string `json:"rule"`
}

type answer struct {
	// Why sops does not take the plain text, or cannot encrypt it.
	Refused string `json:"refused,omitempty"`
	// Why sops does not open what kthw encrypted.
	Broken string `json:"broken,omitempty"`
	// The plain text as sops reads it.
	Plain any `json:"plain,omitempty"`
	// What sops encrypted, with a mark in place of each encrypted text, and as its file.
	Sealed any    `json:"sealed,omitempty"`
	File   string `json:"file,omitempty"`
	// What sops decrypts out of its own file.
	Again any `json:"again,omitempty"`
	// What kthw encrypted, with marks; and decrypted by sops.
	KthwSealed any `json:"kthw_sealed,omitempty"`
	Kthw       any `json:"kthw,omitempty"`
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 1<<20), 64<<20)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var asked question
		said := answer{}
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			said.Refused = err.Error()
		} else {
			said = of(asked)
		}
		if err := out.Encode(said); err != nil {
			panic(err)
		}
	}
}

func of(asked question) (said answer) {
	defer func() {
		if found := recover(); found != nil {
			said.Refused = fmt.Sprint("sops panics: ", found)
		}
	}()
	store := yaml.NewStore(&config.YAMLStoreConfig{})
	read := func() (sops.Tree, error) {
		branches, err := store.LoadPlainFile([]byte(asked.Plain))
		return sops.Tree{Branches: branches, Metadata: metadata(asked)}, err
	}
	tree, err := read()
	if err != nil {
		return answer{Refused: err.Error()}
	}
	said.Plain = shown(tree.Branches, false)
	mac, err := tree.Encrypt(asked.Key, aes.NewCipher())
	if err != nil {
		return answer{Refused: err.Error()}
	}
	said.Sealed = shown(tree.Branches, true)
	tree.Metadata.LastModified = time.Now().UTC()
	tree.Metadata.MessageAuthenticationCode, err = aes.NewCipher().Encrypt(mac, asked.Key, tree.Metadata.LastModified.Format(time.RFC3339))
	if err != nil {
		return answer{Refused: err.Error()}
	}
	file, err := store.EmitEncryptedFile(tree)
	if err != nil {
		return answer{Refused: err.Error()}
	}
	said.File = string(file)
	if again, err := opened(store, said.File, asked.Key); err == nil {
		said.Again = shown(again.Branches, false)
	}
	if asked.Kthw == "" {
		return said
	}
	sealed, err := store.LoadEncryptedFile([]byte(asked.Kthw))
	if err != nil {
		said.Broken = err.Error()
		return said
	}
	said.KthwSealed = shown(sealed.Branches, true)
	plain, err := opened(store, asked.Kthw, asked.Key)
	if err != nil {
		said.Broken = err.Error()
		return said
	}
	said.Kthw = shown(plain.Branches, false)
	return said
}

func metadata(asked question) sops.Metadata {
	recipient, err := age.MasterKeyFromRecipient("age1zca64m4559v4nqqatl0ls5mn7ca9qd053cdqlzj9uxtu3d7uxfns0zdx7p")
	if err != nil {
		panic(err)
	}
	// sops reads no file without a key; nobody opens this one.
	recipient.EncryptedKey = "-"
	made := sops.Metadata{Version: "3.11.0", KeyGroups: []sops.KeyGroup{{recipient}}}
	switch asked.Field {
	case "unencrypted_suffix":
		made.UnencryptedSuffix = asked.Rule
	case "encrypted_suffix":
		made.EncryptedSuffix = asked.Rule
	case "unencrypted_regex":
		made.UnencryptedRegex = asked.Rule
	case "encrypted_regex":
		made.EncryptedRegex = asked.Rule
	case "unencrypted_comment_regex":
		made.UnencryptedCommentRegex = asked.Rule
	case "encrypted_comment_regex":
		made.EncryptedCommentRegex = asked.Rule
	}
	return made
}

// opened decrypts a file and checks its MAC, as `sops decrypt` does.
func opened(store *yaml.Store, text string, key []byte) (sops.Tree, error) {
	tree, err := store.LoadEncryptedFile([]byte(text))
	if err != nil {
		return tree, err
	}
	cipher := aes.NewCipher()
	mac, err := tree.Decrypt(key, cipher)
	if err != nil {
		return tree, err
	}
	stored, err := cipher.Decrypt(tree.Metadata.MessageAuthenticationCode, key, tree.Metadata.LastModified.Format(time.RFC3339))
	if err != nil {
		return tree, err
	}
	if stored != mac {
		return tree, fmt.Errorf("MAC mismatch")
	}
	return tree, nil
}

// shown is a tree in JSON: a map is a list of pairs, a comment a pair whose first part is "#".
func shown(in any, marked bool) any {
	switch in := in.(type) {
	case sops.TreeBranches:
		out := []any{}
		for _, branch := range in {
			out = append(out, shown(branch, marked))
		}
		return out
	case sops.TreeBranch:
		out := []any{}
		for _, item := range in {
			if comment, ok := item.Key.(sops.Comment); ok {
				out = append(out, shown(comment, marked))
			} else {
				out = append(out, []any{"key", fmt.Sprint(item.Key), shown(item.Value, marked)})
			}
		}
		return map[string]any{"map": out}
	case []any:
		out := []any{}
		for _, item := range in {
			out = append(out, shown(item, marked))
		}
		return map[string]any{"list": out}
	case sops.Comment:
		return comment(in.Value, marked)
	case string:
		if marked && strings.HasPrefix(in, "ENC[") && strings.HasSuffix(in, "type:comment]") {
			return comment(in, marked)
		}
		if marked && strings.HasPrefix(in, "ENC[") {
			return "ENC" + in[strings.LastIndex(in, ","):]
		}
		return []any{"str", in}
	case nil:
		return nil
	default:
		return []any{fmt.Sprintf("%T", in), fmt.Sprint(in)}
	}
}

func comment(text string, marked bool) any {
	if marked && strings.HasPrefix(text, "ENC[") {
		text = "ENC"
	}
	return []any{"#", text}
}
