# Completion of refreezectl for bash: verbs, options, session names, and words of its own.
_refreezectl() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} verb= each value=
    local -a where=()
    local options="--connect --socket --cookie --cert --key --ca --server-name --timeout --json --quiet --verbose --read-only --help"
    for each in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        if [[ -n $value ]]; then
            # A host's colons stand alone here: what belongs to the value goes on after them.
            [[ $each == : ]] && { where[-1]+=:; continue; }
            [[ ${where[-1]} == *: || ${where[-1]} == --* ]] || value=
        fi
        if [[ -n $value ]]; then
            [[ ${where[-1]} == --* ]] && where+=("$each") || where[-1]+=$each
            continue
        fi
        case $each in
            --connect|--socket|--cookie|--cert|--key|--ca|--server-name|--timeout)
                where+=("$each")
                value=yes
                ;;
            -*) ;;
            *) verb=$each; break ;;
        esac
    done
    COMPREPLY=()
    case $before in
        --connect|--socket|--cookie|--cert|--key|--ca)
            mapfile -t COMPREPLY < <(compgen -f -- "$word")
            return
            ;;
        --role)
            mapfile -t COMPREPLY < <(compgen -W "observer operator admin" -- "$word")
            return
            ;;
    esac
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
                names=$(refreezectl "${where[@]}" --json --timeout 2 list 2>/dev/null |
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
