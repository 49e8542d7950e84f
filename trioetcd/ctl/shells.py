"""The scripts that complete `trioetcd ctl ...` in each shell; `completion` fills the tables in.

All go the same way: from the words before the cursor they find how deep in the commands it is, and
offer what may stand there.  Behind the first word that is no command are arguments, and flags;
behind `--` are another program's words.
"""

BASH = """# bash completion for trioetcd: source <(trioetcd ctl completion bash)

__trioetcd_ctl_words() {{
    case "$1" in
{words}
    esac
}}

__trioetcd_ctl_flags() {{
    case "$1" in
{flags}
    esac
}}

__trioetcd_ctl_values() {{
    case "$1" in
{values}
    esac
}}

__trioetcd() {{
    local line=${{COMP_LINE:0:COMP_POINT}} cur word path="" flag="" deepest="" offered
    local -a typed
    read -ra typed <<<"$line"
    cur=""
    if [[ $line != *[[:space:]] ]]; then
        cur=${{typed[-1]}}
        unset 'typed[-1]'
    fi
    COMPREPLY=()
    if ((${{#typed[@]}} < 2)); then
        COMPREPLY=($(compgen -W '{programs}' -- "$cur"))
        return
    fi
    [[ ${{typed[1]}} == ctl ]] || return
    for word in "${{typed[@]:2}}"; do
        if [[ -n $flag ]]; then
            flag=""
            continue
        fi
        case "$word" in
        --) return ;;
        {valued}) flag=$word ;;
        -*) ;;
        *)
            if [[ -z $deepest && " $(__trioetcd_ctl_words "$path") " == *" $word "* ]]; then
                path=${{path:+$path }}$word
            else
                deepest=yes
            fi
            ;;
        esac
    done
    if [[ -n $flag ]]; then
        offered=$(__trioetcd_ctl_values "$flag")
    elif [[ $cur == --*=* ]]; then
        offered=$(__trioetcd_ctl_values "${{cur%%=*}}")
        # What stands before the equals sign stays, unless it is part of the word.
        if [[ $COMP_WORDBREAKS == *=* ]]; then
            cur=${{cur#*=}}
        else
            offered=$(printf "${{cur%%=*}}=%s " $offered)
        fi
    elif [[ $cur == -* ]]; then
        offered=$(__trioetcd_ctl_flags "$path")
    elif [[ -n $deepest ]]; then
        return
    else
        offered=$(__trioetcd_ctl_words "$path")
    fi
    COMPREPLY=($(compgen -W "$offered" -- "$cur"))
}}

complete -o default -F __trioetcd trioetcd
"""

ZSH = """#compdef trioetcd
# zsh completion for trioetcd: source <(trioetcd ctl completion zsh)

__trioetcd_ctl_words() {{
    case "$1" in
{words}
        (*) reply=() ;;
    esac
}}

__trioetcd_ctl_flags() {{
    case "$1" in
{flags}
        (*) reply=() ;;
    esac
}}

__trioetcd_ctl_values() {{
    case "$1" in
{values}
        (*) reply=() ;;
    esac
}}

_trioetcd() {{
    local word path_typed="" flag="" deepest="" current=$words[CURRENT]
    local -a reply
    if ((CURRENT == 2)); then
        compadd {programs}
        return
    fi
    [[ $words[2] == ctl ]] || {{ _files; return }}
    for word in "${{(@)words[3,CURRENT-1]}}"; do
        if [[ -n $flag ]]; then
            flag=""
            continue
        fi
        case "$word" in
        (--) _files; return ;;
        ({valued}) flag=$word ;;
        (-*) ;;
        (*)
            __trioetcd_ctl_words "$path_typed"
            if [[ -z $deepest && -n ${{(M)reply:#$word:*}} ]]; then
                path_typed=${{path_typed:+$path_typed }}$word
            else
                deepest=yes
            fi
            ;;
        esac
    done
    if [[ -n $flag ]]; then
        __trioetcd_ctl_values "$flag"
        (($#reply)) && compadd -a reply || _files
    elif [[ $current == --*=* ]]; then
        __trioetcd_ctl_values "${{current%%=*}}"
        compset -P '*='
        (($#reply)) && compadd -a reply || _files
    elif [[ $current == -* ]]; then
        __trioetcd_ctl_flags "$path_typed"
        _describe -o flag reply
    elif [[ -n $deepest ]]; then
        _files
    else
        __trioetcd_ctl_words "$path_typed"
        (($#reply)) && _describe command reply || _files
    fi
}}

if [[ $funcstack[1] == _trioetcd ]]; then
    _trioetcd "$@"
else
    compdef _trioetcd trioetcd
fi
"""

FISH = """# fish completion for trioetcd: trioetcd ctl completion fish | source

set -g __trioetcd_ctl_known {known}
set -g __trioetcd_ctl_valued {valued}

# Whether this command is being typed; with "only", whether nothing but its words is.
function __trioetcd_ctl_at
    set -l typed (commandline -opc)
    test (count $typed) -ge 2; and test $typed[2] = ctl; or return 1
    set -l path
    set -l flag
    set -l deepest
    for word in $typed[3..-1]
        if test -n "$flag"
            set flag
        else if test $word = --
            return 1
        else if contains -- $word $__trioetcd_ctl_valued
            set flag $word
        else if not string match -q -- '-*' $word
            set -l deeper (string join ' ' $path $word)
            if test -z "$deepest"; and contains -- $deeper $__trioetcd_ctl_known
                set path $path $word
            else
                set deepest yes
            end
        end
    end
    test "$path" = "$argv[1]"; and test -z "$deepest" -o "$argv[2]" != only
end

complete -c trioetcd -f -n 'test (count (commandline -opc)) -eq 1' -a '{programs}'
{lines}
"""

POWERSHELL = """# PowerShell completion for trioetcd:
# trioetcd ctl completion powershell | Out-String | Invoke-Expression

Register-ArgumentCompleter -Native -CommandName 'trioetcd' -ScriptBlock {{
    param($current, $commandAst, $cursor)
    $words = @{{
{words}
    }}
    $flags = @{{
{flags}
    }}
    $values = @{{
{values}
    }}
    $valued = @({valued})
    $typed = @($commandAst.CommandElements | Where-Object {{ $_.Extent.EndOffset -lt $cursor }} |
        ForEach-Object {{ $_.ToString() }})
    $offered = @()
    $before = ''
    if ($typed.Count -lt 2) {{
        $offered = @({programs})
    }} elseif ($typed[1] -eq 'ctl') {{
        $path = ''
        $flag = ''
        $deepest = $false
        foreach ($word in ($typed | Select-Object -Skip 2)) {{
            if ($flag) {{ $flag = ''; continue }}
            if ($word -eq '--') {{ return }}
            if ($valued -contains $word) {{ $flag = $word; continue }}
            if ($word.StartsWith('-')) {{ continue }}
            if (-not $deepest -and $words[$path] -contains $word) {{
                $path = "$path $word".Trim()
            }} else {{
                $deepest = $true
            }}
        }}
        if ($flag) {{
            $offered = $values[$flag]
        }} elseif ($current -match '^(--[^=]+)=') {{
            $before = $matches[0]
            $offered = $values[$matches[1]]
        }} elseif ($current.StartsWith('-')) {{
            $offered = $flags[$path]
        }} elseif (-not $deepest) {{
            $offered = $words[$path]
        }}
    }}
    $offered | Where-Object {{ $_ -and "$before$_" -like "$current*" }} | ForEach-Object {{
        [System.Management.Automation.CompletionResult]::new("$before$_", $_, 'ParameterValue', $_)
    }}
}}
"""
