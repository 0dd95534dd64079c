# Completion of refreezectl for bash: verbs, options, session names, and words of its own.
_refreezectl() {
    local word=${COMP_WORDS[COMP_CWORD]} verb= each
    local options="--connect --socket --cookie --cert --key --ca --server-name --timeout --json --quiet --verbose --read-only --help"
    for each in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case $each in -*) ;; *) verb=$each; break ;; esac
    done
    COMPREPLY=()
    [[ $verb == pki ]] && options="--host --role --days --dir --force --json --quiet"
    if [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
    elif [[ -z $verb ]]; then
        local verbs="help version ping status list show stats metrics history watch unwatch get
            restart cancel hold release reset doctor signal open close fault set log reload drain
            shutdown wait top pki"
        mapfile -t COMPREPLY < <(compgen -W "$verbs" -- "$word")
    else
        case $verb in
            show|history|restart|cancel|hold|release|reset|close|fault|wait)
                local names
                names=$(refreezectl --json --timeout 2 list 2>/dev/null |
                    sed -n 's/.*"id": *"\([^"]*\)".*/\1/p')
                mapfile -t COMPREPLY < <(compgen -W "$names all" -- "$word")
                ;;
            pki)
                mapfile -t COMPREPLY < <(compgen -W "init issue show" -- "$word")
                ;;
            watch)
                local topics="session round job watchdog net signal config fault"
                mapfile -t COMPREPLY < <(compgen -W "$topics" -- "$word")
                ;;
        esac
    fi
}
complete -F _refreezectl refreezectl
